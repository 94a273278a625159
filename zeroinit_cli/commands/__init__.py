"""The use cases behind the commands: check first, then write or report. No torch here."""
