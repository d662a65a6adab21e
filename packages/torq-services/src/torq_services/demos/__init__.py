"""Things to try: a made-up opportunity, a relay that shows what it gets, a faulty exchange."""
