// SPDX-License-Identifier: Apache-2.0
// An XDP program with functions that extensions replace, and that others trace.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct limits {
	int least;
	int most;
};

int base = 3;

__noinline int price(int weight, int distance)
{
	volatile int sum = weight + distance;

	return sum;
}

__noinline int allowed(struct xdp_md *ctx, int size)
{
	volatile int least = size;

	return least > 0 && ctx->ingress_ifindex;
}

__noinline int within(struct limits *limits)
{
	return limits ? limits->most : 0;
}

SEC("xdp")
int route(struct xdp_md *ctx)
{
	struct limits limits = { 1, 20 };

	if (!allowed(ctx, base))
		return XDP_DROP;
	return price(base, 4) + within(&limits);
}

char _license[] SEC("license") = "GPL";
