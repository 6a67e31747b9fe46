"""Memory: what is remembered of a study's runs, and where."""
