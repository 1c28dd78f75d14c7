// Lets Debian's user-mode-linux 6.1 run where a processor has more state than it knows: it keeps 2,696 bytes a process
// (AVX-512, protection keys), and the kernel of a host with AMX takes the whole of its 11,008 or nothing. What lies
// behind is what such a process has of AMX: nothing. Preloaded, in place of the C library's ptrace().
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <linux/ptrace.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

// The header of an XSAVE area: which parts hold something (Intel SDM, volume 1, 13.4.2). AMX has bits 17 and 18.
#define XSTATE_BV 512
#define AMX (3ULL << 17)

static union {
	char bytes[64 << 10];
	unsigned long long words[1];
} whole __attribute__((aligned(64)));

// Bytes that the host's kernel wants; it tells them with the state of any process.
static size_t wanted(pid_t pid)
{
	static size_t size;
	struct iovec all = {whole.bytes, sizeof(whole)};

	if (!size && !syscall(SYS_ptrace, PTRACE_GETREGSET, pid, NT_X86_XSTATE, &all))
		size = all.iov_len;
	return size;
}

// user-mode-linux asks from one thread.
static long set_state(pid_t pid, const struct iovec *given)
{
	struct iovec all = {whole.bytes, wanted(pid)};

	if (given->iov_len >= all.iov_len || given->iov_len <= XSTATE_BV)
		return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, NT_X86_XSTATE, given);
	memcpy(whole.bytes, given->iov_base, given->iov_len);
	memset(whole.bytes + given->iov_len, 0, all.iov_len - given->iov_len);
	whole.words[XSTATE_BV / sizeof(*whole.words)] &= ~AMX;
	return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, NT_X86_XSTATE, &all);
}

long ptrace(long request, pid_t pid, void *address, void *data)
{
	long peeked, result;

	if (request == PTRACE_SETREGSET && (long)address == NT_X86_XSTATE)
		return set_state(pid, data);
	if (request != PTRACE_PEEKTEXT && request != PTRACE_PEEKDATA && request != PTRACE_PEEKUSR)
		return syscall(SYS_ptrace, request, pid, address, data);
	// As the C library's: what is read is the result.
	result = syscall(SYS_ptrace, request, pid, address, &peeked);
	if (result < 0)
		return result;
	errno = 0;
	return peeked;
}
