"""When to stop: rules, their replay over recorded curves, and the callback that follows one."""
