// SPDX-License-Identifier: Apache-2.0
// Exceptions that are thrown from near and far, and what becomes of them.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define CATCH(name) __attribute__((btf_decl_tag("exception_callback:" #name)))

extern void bpf_throw(__u64) __ksym;

int caught, tidied;

__attribute__((noinline)) int add_hundred(__u64 cookie)
{
	caught++;
	return cookie + 100;
}

static __attribute__((noinline)) int half(__u64 cookie)
{
	return cookie / 2;
}

__attribute__((noinline)) int halve(__u64 cookie)
{
	caught++;
	return half(cookie);
}

static __attribute__((noinline)) int check(int value)
{
	if (value > 10)
		bpf_throw(value);
	return value;
}

static __attribute__((noinline)) int deeper(int value)
{
	int sum = check(value) + check(value + 1);

	tidied++;
	return sum;
}

__attribute__((noinline)) int global_check(int value)
{
	if (value > 10)
		bpf_throw(value + 1);
	return value;
}

static int each(__u32 number, void *context)
{
	*(int *)context += number;
	return 0;
}

SEC("tc")
int plain(struct __sk_buff *skb)
{
	return deeper(skb->len);
}

SEC("tc")
int at_once(struct __sk_buff *skb)
{
	if (skb->len > 20)
		bpf_throw(skb->len * 2);
	return 1;
}

SEC("tc")
int through_global(struct __sk_buff *skb)
{
	return global_check(skb->len) + 1000;
}

SEC("tc")
CATCH(add_hundred)
int caught_near(struct __sk_buff *skb)
{
	if (skb->len > 20)
		bpf_throw(skb->len);
	return 1;
}

SEC("tc")
CATCH(halve)
int caught_far(struct __sk_buff *skb)
{
	int sum = 0;

	bpf_loop(3, each, &sum, 0);
	return deeper(skb->len) + sum;
}

SEC("xdp")
CATCH(halve)
int caught_frame(struct xdp_md *ctx)
{
	return global_check(ctx->data_end - ctx->data);
}

char _license[] SEC("license") = "GPL";
