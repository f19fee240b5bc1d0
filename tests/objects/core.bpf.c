// SPDX-License-Identifier: Apache-2.0
// Reads fields of kernel structures that lie elsewhere than this file says.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

struct task_struct {
	int pid;
	int tgid;
	char comm[16];
	int no_such_field;
} __attribute__((preserve_access_index));

struct task_struct___elsewhere {
	long no_such_field;
} __attribute__((preserve_access_index));

int pid, tgid, size, exists;

SEC("raw_tp/sys_enter")
int who(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task_btf();

	pid = task->pid;
	tgid = BPF_CORE_READ(task, tgid);
	size = bpf_core_type_size(struct task_struct);
	exists = bpf_core_field_exists(task->pid) + 2 * bpf_core_field_exists(task->no_such_field);
	if (bpf_core_field_exists(((struct task_struct___elsewhere *)0)->no_such_field))
		exists += ((struct task_struct___elsewhere *)task)->no_such_field;
	return 0;
}

char _license[] SEC("license") = "GPL";
