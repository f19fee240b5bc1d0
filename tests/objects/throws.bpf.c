// SPDX-License-Identifier: Apache-2.0
// A program with an exception callback, which nothing calls; per-CPU variables.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

int each_cpu SEC(".percpu.counts") = 3;

__attribute__((noinline)) int handler(__u64 cookie)
{
	return cookie != 0;
}

SEC("tc")
__attribute__((btf_decl_tag("exception_callback:handler")))
int guarded(struct __sk_buff *skb)
{
	return skb->len > 5;
}

char _license[] SEC("license") = "GPL";
