/* A client of bpf(2) that needs no library: built for 32 bits, its pointers and longs are half as
 * wide as the subsystem's, and its u64 need only four bytes of alignment where the header does not
 * ask for more.
 *
 * It writes (command, address of the attr, size) to standard output for each call and reads the
 * result from standard input; with an argument it calls the kernel instead. In the end it writes
 * what it got: DONE, and its findings.
 */
#include <linux/bpf.h>

#define CALL(n, a, b, c) call((long)(n), (long)(a), (long)(b), (long)(c))
#define MOV64_IMM(d, i) { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = d, .imm = i }
#define MOV64_REG(d, s) { .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = d, .src_reg = s }
#define ALU64_IMM(o, d, i) { .code = BPF_ALU64 | o | BPF_K, .dst_reg = d, .imm = i }
#define ST_MEM(z, d, o, i) { .code = BPF_ST | z | BPF_MEM, .dst_reg = d, .off = o, .imm = i }
#define LDX_MEM(z, d, s, o) \
	{ .code = BPF_LDX | z | BPF_MEM, .dst_reg = d, .src_reg = s, .off = o }
#define JMP_IMM(o, d, i, t) { .code = BPF_JMP | o | BPF_K, .dst_reg = d, .off = t, .imm = i }
#define LD_MAP_FD(d, f) \
	{ .code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = d, .src_reg = BPF_PSEUDO_MAP_FD, .imm = f }, \
	{ 0 }
#define CALL_HELPER(h) { .code = BPF_JMP | BPF_CALL, .imm = h }
#define EXIT() { .code = BPF_JMP | BPF_EXIT }

struct request { __u32 command, size; __u64 attr; };
struct findings { __u32 done; __s32 map, stored, found, program, ran, info; __u32 retval, key_size,
	words, long_size, unused; __u64 value; char log[8]; };

static int kernel;

static long call(long number, long a, long b, long c)
{
	long result;

#ifdef __i386__
	__asm__ volatile("int $0x80" : "=a"(result) : "0"(number), "b"(a), "c"(b), "d"(c) : "memory");
#else
	__asm__ volatile("syscall" : "=a"(result) : "0"(number), "D"(a), "S"(b), "d"(c)
		: "rcx", "r11", "memory");
#endif
	return result;
}

#ifdef __i386__
enum { EXIT_CALL = 1, READ = 3, WRITE = 4, BPF = 357 };
#else
enum { EXIT_CALL = 60, READ = 0, WRITE = 1, BPF = 321 };
#endif

static int bpf(__u32 command, void *attr, __u32 size)
{
	struct request request = { command, size, (unsigned long)attr };
	__s32 result = -1;

	if (kernel)
		return CALL(BPF, command, attr, size);
	CALL(WRITE, 1, &request, sizeof(request));
	CALL(READ, 0, &result, sizeof(result));
	return result;
}

static __u64 address(const void *pointer)
{
	return (unsigned long)pointer;
}

static struct findings found;
static char log[4096], packet[64];

static void run(void)
{
	__u32 key = 7;
	__u64 value = 0x1122334455667788ull;
	struct bpf_map_info info = { 0 };
	union bpf_attr create = { .map_type = BPF_MAP_TYPE_HASH, .key_size = sizeof(key),
		.value_size = sizeof(value), .max_entries = 3 };

	found.map = bpf(BPF_MAP_CREATE, &create, sizeof(create));
	union bpf_attr update = { .map_fd = found.map, .key = address(&key), .value = address(&value) };
	found.stored = bpf(BPF_MAP_UPDATE_ELEM, &update, sizeof(update));
	union bpf_attr lookup = { .map_fd = found.map, .key = address(&key),
		.value = address(&found.value) };
	found.found = bpf(BPF_MAP_LOOKUP_ELEM, &lookup, sizeof(lookup));

	struct bpf_insn insns[] = {
		ST_MEM(BPF_W, BPF_REG_10, -4, 7),
		MOV64_REG(BPF_REG_2, BPF_REG_10),
		ALU64_IMM(BPF_ADD, BPF_REG_2, -4),
		LD_MAP_FD(BPF_REG_1, found.map),
		CALL_HELPER(BPF_FUNC_map_lookup_elem),
		JMP_IMM(BPF_JEQ, BPF_REG_0, 0, 2),
		LDX_MEM(BPF_W, BPF_REG_0, BPF_REG_0, 0),
		EXIT(),
		MOV64_IMM(BPF_REG_0, 0),
		EXIT(),
	};
	union bpf_attr load = { .prog_type = BPF_PROG_TYPE_SOCKET_FILTER, .insns = address(insns),
		.insn_cnt = sizeof(insns) / sizeof(insns[0]), .license = address("GPL"),
		.log_level = 1, .log_buf = address(log), .log_size = sizeof(log) };
	found.program = bpf(BPF_PROG_LOAD, &load, sizeof(load));
	for (int i = 0; i < 8; i++)
		found.log[i] = log[i];

	union bpf_attr test = { .test = { .prog_fd = found.program, .data_in = address(packet),
		.data_size_in = sizeof(packet) } };
	found.ran = bpf(BPF_PROG_TEST_RUN, &test, sizeof(test));
	found.retval = test.test.retval;

	union bpf_attr query = { .info = { .bpf_fd = found.map, .info = address(&info),
		.info_len = sizeof(info) } };
	found.info = bpf(BPF_OBJ_GET_INFO_BY_FD, &query, sizeof(query));
	found.key_size = info.key_size;
	found.words = query.info.info_len;
}

__attribute__((used)) void main_with(long arguments)
{
	kernel = arguments > 1;
	run();
	found.done = 0x454e4f44;
	found.long_size = sizeof(long);
	CALL(WRITE, 1, &found, sizeof(found));
	CALL(EXIT_CALL, 0, 0, 0);
}

#ifdef __i386__
__asm__(".globl _start\n_start: mov (%esp), %eax\nand $-16, %esp\nsub $12, %esp\npush %eax\n"
	"call main_with\n");
#else
__asm__(".globl _start\n_start: mov (%rsp), %rdi\nand $-16, %rsp\ncall main_with\n");
#endif
