// Watches TCP: counts packets by source address, reports each SYN, drops one port on request.
//
// Compile: clang -O2 -g -target bpf -mcpu=v3 -c port_watch.bpf.c -o port_watch.bpf.o
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct traffic {
	__u64 packets;
	__u64 bytes;
};

struct opening {
	__u32 source; /* network byte order, as in the packet */
	__u16 port;   /* destination, host byte order */
	__u16 size;   /* bytes on the wire */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32); /* source address, network byte order */
	__type(value, struct traffic);
} sources SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} openings SEC(".maps");

__u64 others;       /* packets that are not TCP over IPv4 */
__u16 refused_port; /* packets to this port are dropped; 0: none */

static void report(struct iphdr *ip, struct tcphdr *tcp, __u16 size)
{
	struct opening *opening = bpf_ringbuf_reserve(&openings, sizeof(*opening), 0);

	if (!opening)
		return;
	opening->source = ip->saddr;
	opening->port = bpf_ntohs(tcp->dest);
	opening->size = size;
	bpf_ringbuf_submit(opening, 0);
}

SEC("xdp")
int watch(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = data + sizeof(*eth);
	struct tcphdr *tcp = (void *)(ip + 1);
	struct traffic first = {.packets = 1, .bytes = end - data}, *known;

	if ((void *)(tcp + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) || ip->ihl != 5 ||
	    ip->protocol != IPPROTO_TCP) {
		__sync_fetch_and_add(&others, 1);
		return XDP_PASS;
	}
	known = bpf_map_lookup_elem(&sources, &ip->saddr);
	if (known) {
		__sync_fetch_and_add(&known->packets, 1);
		__sync_fetch_and_add(&known->bytes, end - data);
	} else {
		bpf_map_update_elem(&sources, &ip->saddr, &first, BPF_NOEXIST);
	}
	if (tcp->syn && !tcp->ack)
		report(ip, tcp, end - data);
	return refused_port && tcp->dest == bpf_htons(refused_port) ? XDP_DROP : XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
