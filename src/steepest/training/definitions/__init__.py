"""What a run is made of: the nouns that a user defines."""
