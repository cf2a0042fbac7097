"""Network access: one HTTP client, and one policy that limits its use."""
