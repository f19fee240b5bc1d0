// The packet counter of the 2014 draft of bpf(2): counts[skb->ip->proto]++.
//
// Compile: clang -O2 -g -target bpf -mcpu=v3 -c packet_counter.bpf.c -o packet_counter.bpf.o
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define ETH_HLEN 14
#define IP_PROTOCOL 9 /* offset of the protocol in an IPv4 header */

unsigned long long load_byte(void *skb, unsigned long long offset) asm("llvm.bpf.load.byte");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2);
	__type(key, __u32);   /* IP protocol: 6 is TCP, 17 is UDP */
	__type(value, __u64); /* packets */
} counts SEC(".maps");

SEC("socket")
int count_packets(struct __sk_buff *skb)
{
	__u32 protocol = load_byte(skb, ETH_HLEN + IP_PROTOCOL);
	__u64 *packets = bpf_map_lookup_elem(&counts, &protocol);

	if (packets)
		__sync_fetch_and_add(packets, 1);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
