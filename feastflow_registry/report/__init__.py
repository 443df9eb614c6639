"""Plans, outcomes and listings as text, Markdown and JSON; the two logs."""
