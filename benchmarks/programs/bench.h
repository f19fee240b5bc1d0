// What the programs here share: a packet of 1024 bytes as input, and loops that stay loops.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define ROLLED _Pragma("clang loop unroll(disable)")
// The compiler does not know the value of the variable from here on.
#define OPAQUE(variable) asm volatile("" : "+r"(variable))
#define SIZE 1024
#define HEAD(ctx) ((void *)(long)(ctx)->data)
#define END(ctx) ((void *)(long)(ctx)->data_end)
// The first SIZE bytes of the packet, or give up.
#define BYTES(ctx, p)                                                \
	__u8 *p = HEAD(ctx);                                         \
	if ((void *)(p + SIZE) > END(ctx))                           \
		return XDP_ABORTED

static __always_inline __u32 rol32(__u32 x, int n)
{
	return x << n | x >> (32 - n);
}

static __always_inline __u64 rol64(__u64 x, int n)
{
	return x << n | x >> (64 - n);
}

char LICENSE[] SEC("license") = "GPL";
