// SPDX-License-Identifier: Apache-2.0
// What replaces and traces functions of extended.bpf.c; some of it does not fit.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct limits {
	int least;
	int most;
};

long calls;
long seen;

SEC("freplace/price")
int dearer(int weight, int distance)
{
	calls++;
	return weight * distance * 100;
}

SEC("freplace/allowed")
int never(struct xdp_md *ctx, int size)
{
	return 0;
}

SEC("freplace/within")
int least(struct limits *limits)
{
	return limits ? limits->least : 0;
}

SEC("freplace/route")
int pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("freplace/price")
int too_few(int weight)
{
	return weight;
}

SEC("fentry/price")
int asked(unsigned long long *ctx)
{
	seen += ctx[0] * 1000 + ctx[1];
	return 0;
}

SEC("fexit/price")
int answered(unsigned long long *ctx)
{
	seen += ctx[2] * 1000000;
	return 0;
}

char _license[] SEC("license") = "GPL";
