"""What the commands do, whoever asks: check first, then write or report. No torch here."""
