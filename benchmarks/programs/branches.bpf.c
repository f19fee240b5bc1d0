// Parsers, searches, state machines, and packets that change.
//
// Compile: make -C benchmarks/programs
#include "bench.h"
#include <linux/ipv6.h>
#include <linux/udp.h>

struct vlan {
	__u16 tci;
	__u16 protocol;
};

// Link header, up to two tags, IPv4 or IPv6, TCP or UDP: the destination port.
SEC("xdp")
int parse_ports(struct xdp_md *ctx)
{
	void *at = HEAD(ctx), *end = END(ctx);
	struct ethhdr *eth = at;
	__u16 protocol;
	__u8 next;

	if ((void *)(eth + 1) > end)
		return XDP_DROP;
	at = eth + 1;
	protocol = eth->h_proto;
	for (int i = 0; i < 2; i++) {
		struct vlan *tag = at;

		if (protocol != bpf_htons(ETH_P_8021Q) && protocol != bpf_htons(ETH_P_8021AD))
			break;
		if ((void *)(tag + 1) > end)
			return XDP_DROP;
		protocol = tag->protocol;
		at = tag + 1;
	}
	if (protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = at;

		if ((void *)(ip + 1) > end || ip->ihl < 5)
			return XDP_DROP;
		next = ip->protocol;
		at += ip->ihl * 4;
	} else if (protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = at;

		if ((void *)(ip + 1) > end)
			return XDP_DROP;
		next = ip->nexthdr;
		at = ip + 1;
	} else {
		return XDP_PASS;
	}
	if (next == 6 || next == 17) {
		struct udphdr *udp = at;

		if ((void *)(udp + 1) > end)
			return XDP_DROP;
		return bpf_ntohs(udp->dest);
	}
	return XDP_PASS;
}

// What `tcpdump 'tcp dst port 443'` looks at: XDP_PASS for a match.
SEC("xdp")
int tcp_dst_443(struct xdp_md *ctx)
{
	void *data = HEAD(ctx), *end = END(ctx);
	struct ethhdr *eth = data;
	struct ipv6hdr *six = (void *)(eth + 1);
	struct iphdr *four = (void *)(eth + 1);
	__be16 *port;

	if ((void *)(four + 1) > end)
		return XDP_DROP;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		if (four->protocol != 6 || four->frag_off & bpf_htons(0x1fff))
			return XDP_DROP;
		port = (void *)four + (four->ihl & 15) * 4 + 2;
	} else if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
		if ((void *)(six + 1) > end || six->nexthdr != 6)
			return XDP_DROP;
		port = (void *)(six + 1) + 2;
	} else {
		return XDP_DROP;
	}
	return (void *)(port + 1) <= end && *port == bpf_htons(443) ? XDP_PASS : XDP_DROP;
}

// Walk the options of a TCP header that stands at byte 64 of the packet.
SEC("xdp")
int tcp_options(struct xdp_md *ctx)
{
	BYTES(ctx, p);
	__u32 at = 64, found = 0;

	ROLLED for (int i = 0; i < 20; i++) {
		__u8 *option = p + (at & 127), kind, size;

		if ((void *)(option + 2) > END(ctx))
			break;
		kind = option[0];
		size = option[1];
		if (kind == 0)
			break;
		if (kind == 1) {
			at++;
			continue;
		}
		if (size < 2)
			break;
		found |= 1 << (kind & 15);
		at += size;
	}
	return found;
}

// A name of a DNS question at byte 128, hashed label by label.
SEC("xdp")
int dns_name(struct xdp_md *ctx)
{
	BYTES(ctx, p);
	__u32 hash = 5381, left = 0;

	ROLLED for (int i = 0; i < 64; i++) {
		__u8 c = p[128 + i];

		if (!left) {
			if (!c)
				break;
			left = c & 63;
			hash = hash * 33 + '.';
			continue;
		}
		if (c >= 'A' && c <= 'Z')
			c += 'a' - 'A';
		hash = hash * 33 ^ c;
		left--;
	}
	return hash & 0xffff;
}

// IPv6 extension headers, one after another, from byte 256.
SEC("xdp")
int ipv6_extensions(struct xdp_md *ctx)
{
	BYTES(ctx, p);
	__u32 at = 256, seen = 0;
	__u8 next = 0, *header;

	ROLLED for (int i = 0; i < 8; i++) {
		if (next != 0 && next != 43 && next != 44 && next != 60)
			break;
		header = p + (at & 511);
		if ((void *)(header + 2) > END(ctx))
			break;
		seen++;
		next = header[0];
		at += 8 + 8 * (header[1] & 7);
	}
	return seen << 8 | next;
}

// A request line at byte 512: a state machine over its bytes.
SEC("xdp")
int state_machine(struct xdp_md *ctx)
{
	BYTES(ctx, p);
	__u32 state = 0, words = 0, digits = 0;

	ROLLED for (int i = 0; i < 128; i++) {
		__u8 c = p[512 + i];

		switch (state) {
		case 0:
			if (c >= 'A' && c <= 'Z')
				state = 1;
			else if (c >= '0' && c <= '9')
				state = 2;
			break;
		case 1:
			if (c == ' ') {
				words++;
				state = 0;
			} else if (c == '\r') {
				state = 3;
			}
			break;
		case 2:
			digits++;
			if (c < '0' || c > '9')
				state = 0;
			break;
		default:
			state = c == '\n' ? 0 : 3;
		}
	}
	return words << 8 | (digits & 255);
}

const volatile __u32 sorted[256] = {
#define FOUR(n) 37 * (n), 37 * (n) + 11, 37 * (n) + 17, 37 * (n) + 29
#define LINE(n) FOUR(n), FOUR(n + 1), FOUR(n + 2), FOUR(n + 3)
#define MANY(n) LINE(n), LINE(n + 4), LINE(n + 8), LINE(n + 12)
	MANY(0), MANY(16), MANY(32), MANY(48),
};

SEC("xdp")
int binary_search(struct xdp_md *ctx)
{
	BYTES(ctx, p);
	__u32 sum = 0;

	ROLLED for (int n = 0; n < 8; n++) {
		__u32 wanted = p[n] * 9, low = ctx->rx_queue_index; // 0, but nobody knows

		for (int half = 128; half; half /= 2)
			if (sorted[(low + half) & 255] <= wanted)
				low += half;
		sum += low;
	}
	return sum & 0xffff;
}

SEC("xdp")
int swap_addresses(struct xdp_md *ctx)
{
	struct ethhdr *eth = HEAD(ctx);
	struct iphdr *ip = (void *)(eth + 1);
	__u8 mac[ETH_ALEN];
	__u32 address;

	if ((void *)(ip + 1) > END(ctx))
		return XDP_DROP;
	__builtin_memcpy(mac, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, mac, ETH_ALEN);
	address = ip->saddr;
	ip->saddr = ip->daddr;
	ip->daddr = address;
	return XDP_TX;
}

static __always_inline void fix(__u16 *check, __u16 old, __u16 new)
{
	__u32 sum = (__u16)~*check + (__u16)~old + new;

	sum = (sum & 0xffff) + (sum >> 16);
	*check = ~((sum & 0xffff) + (sum >> 16));
}

SEC("xdp")
int decrement_ttl(struct xdp_md *ctx)
{
	struct ethhdr *eth = HEAD(ctx);
	struct iphdr *ip = (void *)(eth + 1);
	__u16 *word, old;

	if ((void *)(ip + 1) > END(ctx))
		return XDP_DROP;
	word = (void *)&ip->ttl;
	old = *word;
	ip->ttl--;
	fix(&ip->check, old, *word);
	return XDP_TX;
}

// Source and destination NAT: addresses and ports, both checksums mended; then back again.
SEC("xdp")
int nat(struct xdp_md *ctx)
{
	struct ethhdr *eth = HEAD(ctx);
	struct iphdr *ip = (void *)(eth + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	__u16 *words = (void *)&ip->saddr, port;

	if ((void *)(tcp + 1) > END(ctx))
		return XDP_DROP;
	if (ip->protocol != 6)
		return XDP_PASS;
	for (int i = 0; i < 4; i++) {
		__u16 new = words[i] ^ bpf_htons(0x0a05);

		fix(&ip->check, words[i], new);
		fix(&tcp->check, words[i], new);
		words[i] = new;
	}
	port = tcp->source ^ bpf_htons(0x1001);
	fix(&tcp->check, tcp->source, port);
	tcp->source = port;
	return XDP_TX;
}

// Room for an outer header, the header, and the room given back: the packet ends as it came.
SEC("xdp")
int encapsulate(struct xdp_md *ctx)
{
	struct ethhdr *eth;
	struct iphdr *ip;
	__u32 sum = 0;

	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(*ip)))
		return XDP_ABORTED;
	eth = HEAD(ctx);
	ip = (void *)(eth + 1);
	if ((void *)(ip + 1) > END(ctx))
		return XDP_DROP;
	eth->h_proto = bpf_htons(ETH_P_IP);
	*(__u16 *)ip = bpf_htons(0x4500);
	ip->tot_len = bpf_htons(SIZE);
	ip->id = 0;
	ip->frag_off = 0;
	ip->ttl = 64;
	ip->protocol = 4;
	ip->check = 0;
	ip->saddr = bpf_htonl(0x0a000001);
	ip->daddr = bpf_htonl(0x0a000002);
	for (int i = 0; i < 10; i++)
		sum += ((__u16 *)ip)[i];
	sum = (sum & 0xffff) + (sum >> 16);
	ip->check = ~(sum + (sum >> 16));
	return bpf_xdp_adjust_head(ctx, sizeof(*ip)) ? XDP_ABORTED : XDP_TX;
}
