"""Code that a user names: found, loaded from files and packages, digested with the files that it opens."""
