"""What relay and client say to each other about the stream itself, and what a filter passes."""
