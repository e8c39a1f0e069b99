"""Downloads of models and corpora from the Hugging Face Hub."""
