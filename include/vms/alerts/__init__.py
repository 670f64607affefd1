"""Who is told when something is wrong: rules over what the catalogue knows, messages in two languages, sending."""
