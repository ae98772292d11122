"""What a version's rewards look like lately: drift, saturation, length, spread. No text is kept."""
