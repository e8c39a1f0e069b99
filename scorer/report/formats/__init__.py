"""A report as Markdown, JSON, CSV, badge and model card."""
