"""Whether a study is still the one that began: digests of its data and code."""
