"""Publishers and subscribers: sessions without I/O, and two thin shells over each."""
