// Loaded before htmx, whose WebSocket may be open before a later script has run.
// The one thing that markup cannot say: whether the WebSocket is open. And which relay's details
// the reader has unfolded, which a new fragment would fold again.
(() => {
  const show = (text, isGood) => {
    const badge = document.getElementById("connection");
    badge.textContent = text;
    badge.className = `badge ${isGood ? "live" : "lost"}`;
  };
  document.addEventListener("htmx:ws:after:connection", () => show("connected", true));
  document.addEventListener("htmx:ws:close", () => show("reconnecting", false));
  const unfolded = new Set();
  document.addEventListener("toggle", (event) => {
    if (!event.target.id) return;
    if (event.target.open) unfolded.add(event.target.id);
    else if (event.target.isConnected) unfolded.delete(event.target.id);
  }, true);
  document.addEventListener("htmx:ws:after:message:incoming", () => {
    for (const id of unfolded) document.getElementById(id)?.setAttribute("open", "");
  });
})();
