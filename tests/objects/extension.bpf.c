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

extern void bpf_throw(__u64 cookie) __ksym;

static __noinline int refuse(int weight)
{
	if (weight > 2)
		bpf_throw(55);
	return 1;
}

SEC("freplace/price")
int thrown(int weight, int distance)
{
	return refuse(weight) + distance;
}

static long add(__u32 round, long *sum)
{
	*sum += round;
	return 0;
}

SEC("freplace/price")
int summed(int weight, int distance)
{
	long sum = 0;

	bpf_loop(weight + distance, add, &sum, 0);
	return sum;
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
