"""Single layers: our types, tags, colours, placement, and a choice of one."""
