"""The HTTP side of docmill: routes, problems and the page. It decides nothing about documents."""
