"""What every exchange's adapter shares: connecting, watching, books, requests, starting over."""
