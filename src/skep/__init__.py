"""The Linux eBPF subsystem in user space."""
