"""The JSON schema of specs, as a file that editors and specc read."""
