//! How the C library's allocator is to behave: a node that runs for months gives back what a backup needed for minutes. Nothing else.

/// Buffers from this length on, in bytes, are mapped and unmapped one by one instead of cut from a heap that keeps them. Left to
/// itself glibc raises this bound to 32 MiB as soon as it sees such buffers freed (mallopt(3), "M_MMAP_THRESHOLD"), and then each of
/// its heaps keeps a few packs and shards.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED_LEN_MIN: i32 = 2 << 20;

/// Heaps for what is smaller (count); the default is eight for each core. Each keeps its own high-water mark.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const HEAPS_MAX: i32 = 2;

/// Free bytes at the end of a heap from which on they are given back to the system. Setting the bound above leaves this one at 128 KiB,
/// and then nearly every section of a pack that is freed is given back, and the next one taken and cleared page by page.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const TRIMMED_LEN_MIN: i32 = 16 << 20;

/// Sets all of them. To be called before any thread is started. Where the C library is another one, it does nothing.
pub(crate) fn tame() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(
        unsafe_code,
        reason = "a setting of the C library that the standard library does not offer"
    )]
    // SAFETY: takes two integers by value, keeps no pointer, and is called before there is a second thread.
    let is_set = unsafe {
        [
            libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_LEN_MIN),
            libc::mallopt(libc::M_TRIM_THRESHOLD, TRIMMED_LEN_MIN),
            libc::mallopt(libc::M_ARENA_MAX, HEAPS_MAX),
        ]
    };
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if is_set.contains(&0) {
        tracing::debug!("the allocator takes no settings");
    }
}
