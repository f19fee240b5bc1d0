// Mistakes as they are made: each program is refused, and is to be told how to mend it.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct flow {
	__u64 packets;
	__u8 tags[32];
	__u32 used;
};

struct locked {
	struct bpf_spin_lock lock;
	__u64 n;
};

struct event {
	__u32 pid;
	char comm[16];
};

struct task_struct {
	int pid;
	struct task_struct *real_parent, *last_wakee;
} __attribute__((preserve_access_index));

struct holder {
	struct task_struct *plain;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct flow);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct locked);
} locks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct holder);
} holders SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

struct task_struct *bpf_task_acquire(struct task_struct *task) __ksym;
void bpf_task_release(struct task_struct *task) __ksym;
void bpf_rcu_read_lock(void) __ksym;
void bpf_rcu_read_unlock(void) __ksym;

// --- packets ----------------------------------------------------------------------------------

SEC("xdp")
int header_behind_header(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + sizeof(struct ethhdr);

	if (data + sizeof(struct ethhdr) > end)
		return XDP_PASS;
	return ip->protocol == IPPROTO_TCP ? XDP_DROP : XDP_PASS;
}

SEC("xdp")
int options_not_compared(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + sizeof(struct ethhdr);
	struct tcphdr *tcp;

	if ((void *)(ip + 1) > end)
		return XDP_PASS;
	tcp = (void *)ip + ip->ihl * 4;
	return tcp->dest == bpf_htons(80) ? XDP_DROP : XDP_PASS;
}

SEC("xdp")
int length_of_the_packet_itself(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u16 length;

	if (data + 2 > end)
		return XDP_PASS;
	length = *(__u16 *)data;
	if (data + length > end)
		return XDP_PASS;
	return *(__u8 *)(data + 20);
}

// --- NULL, and what is no pointer ---------------------------------------------------------------

SEC("xdp")
int record_not_compared(struct xdp_md *ctx)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	bpf_ringbuf_submit(event, 0);
	return XDP_PASS;
}

SEC("kprobe/do_nanosleep")
int argument_followed(unsigned long *regs)
{
	struct flow *flow = (void *)regs[14];

	return flow->used;
}

SEC("tp_btf/task_newtask")
int pointer_kept_in_a_map(unsigned long long *ctx)
{
	__u32 key = 0;
	struct holder *holder = bpf_map_lookup_elem(&holders, &key);

	return holder ? holder->plain->pid : 0;
}

SEC("tp_btf/task_newtask")
int current_task_followed(unsigned long long *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return task->pid;
}

// --- numbers --------------------------------------------------------------------------------------

SEC("xdp")
int index_not_compared(struct xdp_md *ctx)
{
	__u32 key = 1;
	struct flow *flow = bpf_map_lookup_elem(&flows, &key);

	if (flow)
		flow->tags[flow->used] = 1;
	return XDP_PASS;
}

SEC("xdp")
int index_compared_with_too_much(struct xdp_md *ctx)
{
	__u32 key = 1, index;
	struct flow *flow = bpf_map_lookup_elem(&flows, &key);

	if (!flow)
		return XDP_PASS;
	index = flow->used;
	if (index < sizeof(*flow))
		flow->tags[index] = 1;
	return XDP_PASS;
}

SEC("xdp")
int value_too_small(struct xdp_md *ctx)
{
	__u32 key = 1;
	struct flow *flow = bpf_map_lookup_elem(&flows, &key);

	return flow ? (flow + 1)->used : XDP_PASS;
}

SEC("xdp")
int size_may_be_zero(struct xdp_md *ctx)
{
	__u32 key = 1, size;
	struct flow *flow = bpf_map_lookup_elem(&flows, &key);
	char bytes[64];

	if (!flow)
		return XDP_PASS;
	size = flow->used;
	if (size > sizeof(bytes))
		return XDP_PASS;
	bpf_xdp_load_bytes(ctx, 0, bytes, size);
	return bytes[0];
}

// --- contexts ---------------------------------------------------------------------------------------

SEC("xdp")
int half_a_field(struct xdp_md *ctx)
{
	return *(volatile __u16 *)&ctx->data;
}

SEC("xdp")
int behind_the_context(struct xdp_md *ctx)
{
	return *(__u32 *)((char *)ctx + 64);
}

SEC("socket")
int field_of_another_type(struct __sk_buff *skb)
{
	return *(__u8 *)(long)skb->data;
}

SEC("socket")
int field_written(struct __sk_buff *skb)
{
	skb->len = 5;
	return 0;
}

SEC("tc")
int context_indexed(struct __sk_buff *skb)
{
	__u32 key = 1, *words = skb->cb;
	struct flow *flow = bpf_map_lookup_elem(&flows, &key);

	return flow ? words[flow->used & 3] : 0;
}

SEC("tp_btf/task_newtask")
int argument_too_many(unsigned long long *ctx)
{
	return ctx[2];
}

// --- arguments --------------------------------------------------------------------------------------

SEC("xdp")
int map_expected(struct xdp_md *ctx)
{
	__u32 key = 1;

	return bpf_map_lookup_elem((void *)ctx, &key) != 0;
}

SEC("xdp")
int number_as_key(struct xdp_md *ctx)
{
	return bpf_map_lookup_elem(&flows, (void *)1) != 0;
}

SEC("xdp")
int context_as_key(struct xdp_md *ctx)
{
	return bpf_map_lookup_elem(&flows, &ctx->rx_queue_index) != 0;
}

SEC("xdp")
int map_value_submitted(struct xdp_md *ctx)
{
	__u32 key = 1;
	struct flow *flow = bpf_map_lookup_elem(&flows, &key);

	if (flow)
		bpf_ringbuf_submit(flow, 0);
	return XDP_PASS;
}

// --- what is given back -----------------------------------------------------------------------------

SEC("xdp")
int submitted_twice(struct xdp_md *ctx)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event)
		return XDP_PASS;
	bpf_ringbuf_submit(event, 0);
	bpf_ringbuf_submit(event, 0);
	return XDP_PASS;
}

SEC("xdp")
int member_submitted(struct xdp_md *ctx)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (event)
		bpf_ringbuf_submit(&event->comm, 0);
	return XDP_PASS;
}

SEC("tc")
int used_when_released(struct __sk_buff *skb)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *sk;

	sk = bpf_sk_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return 0;
	bpf_sk_release(sk);
	return sk->state;
}

SEC("tp_btf/task_newtask")
int borrowed_and_released(unsigned long long *ctx)
{
	bpf_task_release((void *)ctx[0]);
	return 0;
}

SEC("tc")
int borrowed_socket(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;

	if (sk)
		bpf_sk_release(sk);
	return 0;
}

SEC("tp_btf/task_newtask")
int released_twice(unsigned long long *ctx)
{
	struct task_struct *task = bpf_task_acquire((void *)ctx[0]);

	if (!task)
		return 0;
	bpf_task_release(task);
	bpf_task_release(task);
	return 0;
}

SEC("tp_btf/task_newtask")
int acquired_on_a_walk(unsigned long long *ctx)
{
	struct task_struct *task = (void *)ctx[0];

	task = bpf_task_acquire(task->real_parent->last_wakee);
	if (task)
		bpf_task_release(task);
	return 0;
}

SEC("xdp")
int call_under_lock(struct xdp_md *ctx)
{
	__u32 key = 0;
	struct locked *locked = bpf_map_lookup_elem(&locks, &key);

	if (!locked)
		return XDP_PASS;
	bpf_spin_lock(&locked->lock);
	locked->n = bpf_ktime_get_ns();
	bpf_spin_unlock(&locked->lock);
	return XDP_PASS;
}

SEC("xdp")
int left_with_the_lock(struct xdp_md *ctx)
{
	__u32 key = 0;
	struct locked *locked = bpf_map_lookup_elem(&locks, &key);

	if (!locked)
		return XDP_PASS;
	bpf_spin_lock(&locked->lock);
	if (locked->n)
		return XDP_DROP;
	bpf_spin_unlock(&locked->lock);
	return XDP_PASS;
}

SEC("tp_btf/task_newtask")
int left_in_a_section(unsigned long long *ctx)
{
	bpf_rcu_read_lock();
	if (ctx[1])
		return 0;
	bpf_rcu_read_unlock();
	return 0;
}

// --- the rest ---------------------------------------------------------------------------------------

const volatile __u32 constant = 3;

SEC("xdp")
int constant_written(struct xdp_md *ctx)
{
	*(volatile __u32 *)&constant = 4;
	return constant;
}

SEC("tp_btf/task_newtask")
int object_written(unsigned long long *ctx)
{
	struct task_struct *task = (void *)ctx[0];

	task->pid = 1;
	return 0;
}

SEC("tp_btf/task_newtask")
int asleep_where_none_may(unsigned long long *ctx)
{
	char bytes[8];

	return bpf_copy_from_user(bytes, sizeof(bytes), (void *)ctx[1]);
}

static __noinline int deep(void)
{
	char bytes[300];

	__builtin_memset(bytes, 1, sizeof(bytes));
	return bpf_ringbuf_output(&events, bytes, sizeof(bytes), 0);
}

SEC("xdp")
int stacks_of_two(struct xdp_md *ctx)
{
	char bytes[300];

	__builtin_memset(bytes, 2, sizeof(bytes));
	bpf_ringbuf_output(&events, bytes, sizeof(bytes), 0);
	return deep();
}

char _license[] SEC("license") = "GPL";
