"""One module per way to train a network; each offers ``Peer(problem, **options)``."""
