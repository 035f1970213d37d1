//! The process takes rights away from itself before it reads what strangers made.
//!
//! A decoder's bug in a hostile file could do whatever the user may do. Under Linux' Landlock the thread that calls
//! [`Sandbox::enter`], and every thread and process that it starts from then on, may read only what the run needs, write
//! only where its outputs go, and open no TCP connection. It can't be undone. A kernel without Landlock, or another
//! system, goes on as before; [`support`] says so, and `faceswap doctor` shows it.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// Where libraries, their settings and what the system says of itself lie: read by loaders, the C library, ONNX Runtime.
const SYSTEM: [&str; 12] = [
    "/bin", "/etc", "/lib", "/lib32", "/lib64", "/nix", "/opt", "/proc", "/sbin", "/sys", "/usr", "/var/lib",
];

/// Devices that do no harm.
const DEVICES: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/shm"];

/// What a GPU's driver wants beside: its devices, and the folder of its compiled kernels.
const GPU_DEVICES: [&str; 2] = ["/dev", "/tmp"];

/// What a run may reach.
#[derive(Debug, Clone)]
pub struct Sandbox {
    readable: Vec<PathBuf>,
    writable: Vec<PathBuf>,
    executable: Vec<PathBuf>,
}

/// How far the kernel goes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// Files, and TCP.
    FilesAndTcp,
    /// Files alone: Linux 5.13 to 6.6.
    Files,
    /// Not at all.
    Nothing,
}

/// A line for a person.
impl fmt::Display for Support {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FilesAndTcp => "active: reads the inputs, writes the output's folder, no TCP (Landlock)",
            Self::Files => "active for files, not for TCP (Landlock; Linux 6.7 and later limit both)",
            Self::Nothing => {
                "NOT ACTIVE: this kernel has no Landlock (Linux 5.13 and later have it, where switched on)"
            }
        })
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        let paths = |list: &[&str]| list.iter().map(PathBuf::from).collect::<Vec<_>>();
        let mut readable = paths(&SYSTEM);
        // Where libraries may be looked for, too.
        let folders = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
        readable.extend(std::env::split_paths(&folders).filter(|folder| folder.is_absolute()));
        Self { readable, writable: paths(&DEVICES), executable: Vec::new() }
    }
}

impl Sandbox {
    /// Allows nothing, not even what a program needs to start.
    pub fn nothing() -> Self {
        Self { readable: Vec::new(), writable: Vec::new(), executable: Vec::new() }
    }

    /// Allows to start a program, by the loader that this one was started with. It is inside, too.
    #[must_use]
    pub fn starting(mut self, program: &Path) -> Self {
        self.executable.push(program.into());
        self.executable.extend(landlock_or_nothing::loader());
        self
    }

    /// Allows to read a file, or all of a folder. Links are followed now, not later.
    #[must_use]
    pub fn reading(mut self, path: impl Into<PathBuf>) -> Self {
        self.readable.push(path.into());
        self
    }

    /// Allows to make, change and remove whatever lies beside `path`, a file that is or will be there. Where its folder
    /// is missing: beside the first one above it that is there.
    #[must_use]
    pub fn writing(mut self, path: &Path) -> Self {
        let mut folders = path
            .ancestors()
            .skip(1)
            .map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
        self.writable.extend(folders.find(|folder| folder.is_dir()).map(Path::to_path_buf));
        self
    }

    /// Allows the same in a folder that is or will be there.
    #[must_use]
    pub fn writing_in(self, folder: &Path) -> Self {
        self.writing(&folder.join("a file"))
    }

    /// Allows what the driver of a GPU needs: it reads anywhere.
    #[must_use]
    pub fn with_gpu(mut self) -> Self {
        self.readable.push("/".into());
        self.writable.extend(GPU_DEVICES.iter().map(PathBuf::from));
        self.writable.extend(std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".nv")));
        self
    }

    /// Takes all other rights from this thread and from all that it starts. Paths that don't exist are left out.
    ///
    /// # Errors
    /// What the kernel said when it has Landlock and yet refuses it.
    pub fn enter(&self) -> io::Result<Support> {
        landlock_or_nothing::restrict(&self.readable, &self.writable, &self.executable)
    }
}

/// How far this kernel goes along. Nothing is restricted.
pub fn support() -> Support {
    landlock_or_nothing::support()
}

#[cfg(target_os = "linux")]
mod landlock_or_nothing {
    use std::{
        ffi::{CStr, OsStr},
        io,
        os::unix::ffi::OsStrExt,
        path::PathBuf,
    };

    use landlock::{
        ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr,
        RulesetError, RulesetStatus, path_beneath_rules,
    };

    use super::Support;

    /// The newest set of rights that this program knows; older kernels take what they know of it.
    const NEWEST: ABI = ABI::V5;

    pub(super) fn restrict(
        readable: &[PathBuf],
        writable: &[PathBuf],
        executable: &[PathBuf],
    ) -> io::Result<Support> {
        let restrict = || -> Result<RulesetStatus, RulesetError> {
            let read = AccessFs::ReadFile | AccessFs::ReadDir;
            let write = AccessFs::from_all(NEWEST) & !AccessFs::Execute;
            let ruleset = Ruleset::default()
                .handle_access(AccessFs::from_all(NEWEST))?
                .handle_access(AccessNet::BindTcp | AccessNet::ConnectTcp)?
                .create()?
                .add_rules(path_beneath_rules(readable, read))?
                .add_rules(path_beneath_rules(writable, write))?
                .add_rules(path_beneath_rules(executable, read | AccessFs::Execute))?;
            Ok(ruleset.restrict_self()?.ruleset)
        };
        match restrict().map_err(io::Error::other)? {
            RulesetStatus::NotEnforced => Ok(Support::Nothing),
            _ => Ok(support()),
        }
    }

    /// The dynamic loader of this process, which the system opens for each program that it starts.
    pub(super) fn loader() -> Option<PathBuf> {
        // SAFETY: the structure is valid when all its bytes are 0; the address is one that the system told, or 0; names of
        // loaded objects stay as long as these.
        unsafe {
            let mut info: libc::Dl_info = std::mem::zeroed();
            let base = libc::getauxval(libc::AT_BASE) as *const libc::c_void;
            if base.is_null() || libc::dladdr(base, &raw mut info) == 0 || info.dli_fname.is_null() {
                return None;
            }
            let name = CStr::from_ptr(info.dli_fname).to_bytes();
            Some(OsStr::from_bytes(name).into())
        }
    }

    pub(super) fn support() -> Support {
        let known = |ruleset: Ruleset| ruleset.create().is_ok();
        let strict = || Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        let files = strict().handle_access(AccessFs::from_all(ABI::V1)).is_ok_and(known);
        let tcp = strict().handle_access(AccessNet::BindTcp | AccessNet::ConnectTcp).is_ok_and(known);
        match (files, tcp) {
            (true, true) => Support::FilesAndTcp,
            (true, false) => Support::Files,
            (false, _) => Support::Nothing,
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod landlock_or_nothing {
    use std::{io, path::PathBuf};

    use super::Support;

    #[expect(clippy::unnecessary_wraps, reason = "the other one can fail")]
    pub(super) fn restrict(_: &[PathBuf], _: &[PathBuf], _: &[PathBuf]) -> io::Result<Support> {
        Ok(Support::Nothing)
    }

    pub(super) fn loader() -> Option<PathBuf> {
        None
    }

    pub(super) fn support() -> Support {
        Support::Nothing
    }
}
