/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that end early. */
#include "../kfuncs/common.h"

#define MIX(value) (sum = sum * 31 + (__u32)(value))

__u32 seen;

__noinline int checked(struct __sk_buff *skb, int limit)
{
	if (skb->len > limit)
		bpf_throw(limit + 7);
	seen++;
	return limit;
}

__noinline int deeper(struct __sk_buff *skb, int limit)
{
	return checked(skb, limit) + 1;
}

SEC("tc") int thrown_here(struct __sk_buff *skb)
{
	if (skb->len == 64)
		bpf_throw(99);
	return 5;
}

SEC("tc") int thrown_below(struct __sk_buff *skb)
{
	__u32 sum = 1;

	MIX(deeper(skb, 100));
	MIX(deeper(skb, 64));
	MIX(deeper(skb, 63));
	return sum;
}

SEC("tc") int how_far(struct __sk_buff *skb)
{
	return seen;
}

SEC("tc") int not_thrown(struct __sk_buff *skb)
{
	return deeper(skb, 1000);
}
