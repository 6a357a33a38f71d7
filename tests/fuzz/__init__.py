"""Bad input by the million: valid documents that are bent, broken and blown up, and bytes that never were one."""
