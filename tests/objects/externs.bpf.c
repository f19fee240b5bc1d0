// SPDX-License-Identifier: Apache-2.0
// Kernel configuration of every type, kernel symbols, a callback.
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>

extern int LINUX_KERNEL_VERSION __kconfig;
extern bool CONFIG_BPF_SYSCALL __kconfig;
extern enum libbpf_tristate CONFIG_BPF __kconfig;
extern char CONFIG_NET __kconfig;
extern __u64 CONFIG_HZ __kconfig;
extern char CONFIG_DEFAULT_HOSTNAME[16] __kconfig;
extern int CONFIG_NO_SUCH_THING __kconfig __weak;

extern const void bpf_prog_put __ksym __weak;
extern const int no_such_variable __ksym __weak;
void no_such_function(void) __ksym __weak;

__u64 out[8];

static int visit(__u32 index, void *unused)
{
	out[5] += index;
	return 0;
}

SEC("raw_tp/sys_enter")
int read_config(void *ctx)
{
	out[0] = LINUX_KERNEL_VERSION;
	out[1] = CONFIG_BPF_SYSCALL;
	out[2] = CONFIG_BPF;
	out[3] = CONFIG_HZ;
	out[4] = CONFIG_NET + CONFIG_DEFAULT_HOSTNAME[0] + CONFIG_NO_SUCH_THING;
	bpf_loop(4, visit, 0, 0);
	if (&no_such_variable)
		out[6] = no_such_variable;
	if (no_such_function)
		no_such_function();
	out[7] = &bpf_prog_put != 0;
	return 0;
}

char _license[] SEC("license") = "GPL";
__u32 _version SEC("version") = 0x060c00;
