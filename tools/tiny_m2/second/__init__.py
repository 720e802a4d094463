"""The world of the second edition: unseen tools, every JSON type, chains, files, two languages."""
