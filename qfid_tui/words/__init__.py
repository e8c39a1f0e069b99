"""Every sentence of the app, its glossary and names."""
