/* The command of every measured start: it ends at once, without a C library, so that little is added to all sides. */

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\tmovl $60, %eax\n\txorl %edi, %edi\n\tsyscall\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n_start:\n\tmov x8, #93\n\tmov x0, #0\n\tsvc #0\n");
#else
#error "exit(2) is not known for this machine"
#endif
