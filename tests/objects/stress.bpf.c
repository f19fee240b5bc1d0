// SPDX-License-Identifier: Apache-2.0
// One step of work on maps that other threads work on too, for tests/conformance/stress.py.
// The packet's first word is the number of the worker, whose counters nobody else writes.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define WORKERS 16
#define COUNTED 64 // keys that stay and are counted at; those above come and go
#define PASSING 192
#define ROOM (COUNTED + PASSING + 32) // what is removed may be on its way back
#define TAG 0x0101010101010101ULL

#define MAP(map_name, map_type, entries, key_type, value_type, flags) \
	struct {                                                       \
		__uint(type, BPF_MAP_TYPE_##map_type);                 \
		__uint(max_entries, entries);                          \
		__uint(map_flags, flags);                              \
		__type(key, key_type);                                 \
		__type(value, value_type);                             \
	} map_name SEC(".maps")

#define KEYLESS(map_name, map_type, entries)           \
	struct {                                       \
		__uint(type, BPF_MAP_TYPE_##map_type); \
		__uint(max_entries, entries);          \
		__type(value, __u64);                  \
	} map_name SEC(".maps")

#define STREAM(map_name, map_type, bytes)              \
	struct {                                       \
		__uint(type, BPF_MAP_TYPE_##map_type); \
		__uint(max_entries, bytes);            \
	} map_name SEC(".maps")

struct worker {
	__u64 random; // state of its random numbers
	__u64 done;   // steps that took effect
	__u64 sum;    // of what they added, or took out
	__u64 lost;   // steps that found no room
	__u64 bad;    // what can't be
	__u64 seen[WORKERS];
};

struct locked {
	struct bpf_spin_lock lock;
	__u32 unused;
	__u64 first, second, third;
};

struct pair {
	__u64 first, second;
};

struct prefix {
	__u32 bits;
	__u8 address[4];
};

MAP(workers, ARRAY, WORKERS, __u32, struct worker, 0);
MAP(counts, HASH, ROOM, __u64, __u64, 0);
MAP(counts_dynamic, HASH, ROOM, __u64, __u64, BPF_F_NO_PREALLOC);
MAP(cells, ARRAY, COUNTED, __u32, __u64, 0);
MAP(locked_array, ARRAY, 4, __u32, struct locked, 0);
MAP(locked_hash, HASH, 8, __u64, struct locked, 0);
MAP(own_array, PERCPU_ARRAY, COUNTED, __u32, __u64, 0);
MAP(own_hash, PERCPU_HASH, ROOM, __u64, __u64, 0);
MAP(recent, LRU_HASH, 128, __u64, struct pair, 0);
MAP(recent_own, LRU_PERCPU_HASH, 128, __u64, struct pair, 0);
MAP(added, HASH, 4096, __u64, __u64, 0);
MAP(routes, LPM_TRIE, 1 << 17, struct prefix, __u64, BPF_F_NO_PREALLOC);
KEYLESS(line, QUEUE, 64);
KEYLESS(pile, STACK, 64);
KEYLESS(filter, BLOOM_FILTER, 100000);
STREAM(records, RINGBUF, 4096);
STREAM(requests, USER_RINGBUF, 4096);

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} events SEC(".maps");

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} inner SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps") = {.values = {&inner}};

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} targets SEC(".maps");

static __always_inline __u32 number_of(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;

	return data + 4 <= (void *)(long)skb->data_end ? *(__u32 *)data : WORKERS;
}

static __always_inline __u64 draw(struct worker *me)
{
	__u64 x = me->random;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return me->random = x;
}

// A program: *body* with the worker's own counters in me, its number, and a random number in r.
#define STEP(name, body)                                                       \
	SEC("tc") int name(struct __sk_buff *skb)                              \
	{                                                                      \
		__u32 number = number_of(skb);                                 \
		struct worker *me = bpf_map_lookup_elem(&workers, &number);    \
		__u64 r __attribute__((unused));                               \
                                                                               \
		if (!me)                                                       \
			return 1;                                              \
		r = draw(me);                                                  \
		body;                                                          \
		return 0;                                                      \
	}

static __always_inline void count_in(void *map, struct worker *me, __u64 r)
{
	__u64 key = r % COUNTED, value = 0, *found = bpf_map_lookup_elem(map, &key);

	if (!found) {
		me->bad++;
		return;
	}
	__sync_fetch_and_add(found, 1);
	me->done++;
	key = COUNTED + (r >> 20) % PASSING;
	if (r >> 40 & 1)
		bpf_map_update_elem(map, &key, &value, BPF_ANY);
	else
		bpf_map_delete_elem(map, &key);
}

STEP(count_hash, count_in(&counts, me, r))
STEP(count_dynamic, count_in(&counts_dynamic, me, r))

static __always_inline void change_cell(struct worker *me, __u64 r)
{
	__u32 key = r % COUNTED;
	__u64 *found = bpf_map_lookup_elem(&cells, &key), old;

	if (!found)
		return;
	if (key % 4 == 0) {
		__sync_fetch_and_add(found, r & 0xffff);
		me->sum += r & 0xffff;
	} else if (key % 4 == 1) {
		old = *(volatile __u64 *)found;
		if (__sync_val_compare_and_swap(found, old, old + 1) == old)
			me->sum++;
	} else if (key % 4 == 2) { // what is put in comes out once
		me->sum += r & 0xffff;
		me->sum -= __sync_lock_test_and_set(found, r & 0xffff);
	} else {
		__sync_fetch_and_add((__u32 *)found, 1);
		me->sum++;
	}
	me->done++;
}

STEP(atomics, change_cell(me, r))

static __always_inline void add_locked(struct locked *value, struct worker *me)
{
	bpf_spin_lock(&value->lock);
	if (value->first != value->second || value->second != value->third)
		me->bad++;
	value->first++;
	value->second++;
	value->third++;
	bpf_spin_unlock(&value->lock);
	me->done++;
}

static __always_inline void look_locked(struct locked *value, struct worker *me)
{
	bpf_spin_lock(&value->lock);
	if (value->first != value->second || value->second != value->third)
		me->bad++;
	bpf_spin_unlock(&value->lock);
}

static __always_inline void step_locked(struct worker *me, __u64 r)
{
	__u32 index = r & 3;
	__u64 key = r >> 2 & 7;
	struct locked *value;

	value = bpf_map_lookup_elem(&locked_array, &index);
	if (value && index < 2)
		add_locked(value, me);
	else if (value) // the host writes these
		look_locked(value, me);
	value = bpf_map_lookup_elem(&locked_hash, &key);
	if (value && key < 4)
		add_locked(value, me);
	else if (value)
		look_locked(value, me);
}

STEP(lock_and_add, step_locked(me, r))

static __always_inline void count_own(struct worker *me, __u64 r)
{
	__u32 index = r % COUNTED;
	__u64 key = (r >> 8) % COUNTED, zero = 0, *found;

	found = bpf_map_lookup_elem(&own_array, &index);
	if (found)
		*found += 1;
	me->done++;
	found = bpf_map_lookup_elem(&own_hash, &key);
	if (!found) {
		me->bad++;
		return;
	}
	*found += 1;
	me->done++;
	key = COUNTED + (r >> 20) % PASSING;
	if (r >> 40 & 1)
		bpf_map_update_elem(&own_hash, &key, &zero, BPF_ANY);
	else
		bpf_map_delete_elem(&own_hash, &key);
}

STEP(count_per_cpu, count_own(me, r))

static __always_inline void use_recent(struct worker *me, __u64 r)
{
	__u64 key = r % 400;
	struct pair value = {key * TAG, key * TAG};

	if (r >> 40 & 3) {
		bpf_map_update_elem(&recent, &key, &value, BPF_ANY);
		bpf_map_update_elem(&recent_own, &key, &value, BPF_ANY);
	} else if (r >> 42 & 1) {
		bpf_map_delete_elem(&recent, &key);
		bpf_map_delete_elem(&recent_own, &key);
	} else {
		bpf_map_lookup_elem(&recent, &key);
		bpf_map_lookup_elem(&recent_own, &key);
	}
	me->done++;
}

STEP(forget, use_recent(me, r))

static __always_inline void add_once(struct worker *me, __u32 number)
{
	__u64 key = (__u64)number << 40 | me->done, value = key * TAG;

	if (bpf_map_update_elem(&added, &key, &value, BPF_NOEXIST))
		me->lost++;
	else
		me->done++;
}

STEP(add, add_once(me, number))

static __always_inline void route(struct worker *me, __u32 number, __u64 r)
{
	struct prefix key = {8 + (r & 15), {number, r >> 8, r >> 16 & 0xc0, 0}};
	struct prefix whole = {32, {number, r >> 8, r >> 16, r >> 24}};
	__u64 value = (__u64)number << 32 | key.bits, *found;

	// what this worker stored is found by this worker: nobody else has its first byte
	if (r >> 40 & 1) {
		if (bpf_map_update_elem(&routes, &key, &value, BPF_ANY) == 0) {
			found = bpf_map_lookup_elem(&routes, &key);
			if (!found || *found != value)
				me->bad++;
			me->done++;
		} else {
			me->lost++;
		}
	} else {
		bpf_map_delete_elem(&routes, &key);
	}
	found = bpf_map_lookup_elem(&routes, &whole);
	if (!found || (*found >> 32 != number && *found)) // the host stored 0 at /0, which stays
		me->bad++;
}

STEP(routing, route(me, number, r))

static __always_inline void push_and_pop(void *map, struct worker *me, __u32 number, __u64 r)
{
	__u64 value = (__u64)number << 48 | me->seen[0];

	if (r & 1) {
		if (bpf_map_push_elem(map, &value, 0) == 0) {
			me->seen[0]++;
			me->done++;
			me->sum += value * (value | 1);
		}
	} else if (bpf_map_pop_elem(map, &value) == 0) {
		me->done--;
		me->sum -= value * (value | 1);
	}
}

STEP(use_queue, push_and_pop(&line, me, number, r))
STEP(use_stack, push_and_pop(&pile, me, number, r))

static __always_inline void push_only(struct worker *me, __u32 number)
{
	__u64 value = (__u64)number << 48 | me->done;

	if (bpf_map_push_elem(&line, &value, 0) == 0)
		me->done++;
	else
		me->lost++;
}

STEP(produce, push_only(me, number))

static __always_inline void remember(struct worker *me, __u32 number, __u64 r)
{
	__u64 value = (__u64)number << 32 | me->done % 4000;

	if (bpf_map_push_elem(&filter, &value, 0) || bpf_map_peek_elem(&filter, &value))
		me->bad++;
	value = (__u64)number << 32 | (me->done ? r % (me->done < 4000 ? me->done : 4000) : 0);
	if (bpf_map_peek_elem(&filter, &value))
		me->bad++;
	me->done++;
}

STEP(filtering, remember(me, number, r))

static __always_inline void send(struct worker *me, __u32 number, __u64 r)
{
	__u64 *record, out;

	if (r & 1) {
		record = bpf_ringbuf_reserve(&records, r & 2 ? 8 : 48, 0);
		if (!record) {
			me->lost++;
			return;
		}
		if (r & 4) {
			record[0] = ~0ULL;
			bpf_ringbuf_discard(record, 0);
			return;
		}
		record[0] = (__u64)number << 48 | me->done++;
		bpf_ringbuf_submit(record, 0);
		return;
	}
	out = (__u64)number << 48 | me->done;
	if (bpf_ringbuf_output(&records, &out, sizeof(out), 0) == 0)
		me->done++;
	else
		me->lost++;
}

STEP(sending, send(me, number, r))

static __always_inline void notify(struct __sk_buff *skb, struct worker *me, __u32 number)
{
	__u64 out = (__u64)number << 48 | me->done;

	if (bpf_perf_event_output(skb, &events, BPF_F_CURRENT_CPU, &out, sizeof(out)) == 0)
		me->done++;
	else
		me->lost++;
}

STEP(notifying, notify(skb, me, number))

static long request(struct bpf_dynptr *record, void *given)
{
	struct worker *me = *(struct worker **)given;
	__u64 value = 0;

	if (bpf_dynptr_read(&value, sizeof(value), record, 0, 0))
		me->bad++;
	me->done++;
	me->sum += value * (value | 1);
	return 0;
}

STEP(draining, {
	struct worker *given = me;
	bpf_user_ringbuf_drain(&requests, request, &given, BPF_RB_NO_WAKEUP * (r & 1));
})

static __always_inline void step_inner(struct worker *me, __u64 r)
{
	__u32 zero = 0, one = 1;
	void *map = bpf_map_lookup_elem(&outer, &zero);
	__u64 *first, *second;

	if (!map)
		return;
	first = bpf_map_lookup_elem(map, &zero);
	second = bpf_map_lookup_elem(map, &one);
	if (!first || !second || *first * TAG != *second)
		me->bad++;
	me->done++;
}

STEP(following, step_inner(me, r))

STEP(jump, {
	me->done++;
	bpf_tail_call(skb, &targets, 0);
	me->lost++;
})
STEP(land_here, me->seen[0]++)
STEP(land_there, me->seen[1]++)

// As in Linux, such a walk may miss elements while others are removed; what it sees is right.
static long visit(void *map, __u64 *key, __u64 *value, void *given)
{
	struct worker *me = *(struct worker **)given;

	if (*key < COUNTED)
		me->seen[0]++;
	else if (*value) // those that come and go are 0
		me->bad++;
	return 0;
}

STEP(visiting, {
	struct worker *given = me;

	bpf_for_each_map_elem(&counts, visit, &given, 0);
	me->lost++;
})

char _license[] SEC("license") = "GPL";
