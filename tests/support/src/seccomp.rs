//! System calls that fail, as old kernels and strict profiles have it.

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// From now on the system call of this number fails with `errno` in this thread and in what it starts.
///
/// # Panics
/// When the kernel takes no filter.
pub fn refuse_call(number: i64, errno: u32) {
    let architecture = std::env::consts::ARCH
        .try_into()
        .expect("filters are for this architecture too");
    let filter = SeccompFilter::new(
        [(number, Vec::new())].into_iter().collect(),
        SeccompAction::Allow,
        SeccompAction::Errno(errno),
        architecture,
    );
    let program: BpfProgram = filter
        .and_then(TryInto::try_into)
        .expect("the filter is well formed");
    seccompiler::apply_filter(&program).expect("the kernel takes filters");
}
