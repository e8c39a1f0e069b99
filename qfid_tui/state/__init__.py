"""What is chosen, compared and known: values and functions on them. No Textual."""
