//! Who plays whom: the people of a clip that are picked, and the identities that replace them.

use crate::{
    Error, Result,
    face::{Pick, SAME_PERSON},
    swap::Bundle,
};

/// One part: who is replaced, and by whom.
#[derive(Debug, Clone)]
pub struct Role {
    /// Whose face goes in.
    pub bundle: Bundle,
    /// Whose face it replaces.
    pub pick: Pick,
}

/// The parts of one run, at least one. Where several could claim a face, the nearest reference does, then the first.
#[derive(Debug, Clone)]
pub struct Cast {
    roles: Vec<Role>,
}

impl Cast {
    /// One identity for the faces of `pick`.
    pub fn single(bundle: Bundle, pick: Pick) -> Self {
        Self { roles: vec![Role { bundle, pick }] }
    }

    /// Several parts at once.
    ///
    /// # Errors
    /// [`Error::BadSetting`] when there is none, or when two reference pictures show the same person.
    pub fn new(roles: Vec<Role>) -> Result<Self> {
        if roles.is_empty() {
            return Err(Error::setting("--map", "", "give at least one FACE=IDENTITY, or --identity"));
        }
        for (i, a) in roles.iter().enumerate() {
            for b in &roles[i + 1..] {
                if let (Pick::Person(x), Pick::Person(y)) = (&a.pick, &b.pick)
                    && x.distance_to(y) < 0.5 * SAME_PERSON
                {
                    let reason = format!(
                        "shows the same person as {} (distance {:.2}), so it is not clear who plays them; \
                         give one picture of each person",
                        x.name,
                        x.distance_to(y)
                    );
                    return Err(Error::setting("--map", &y.name, reason));
                }
            }
        }
        Ok(Self { roles })
    }

    /// The parts in the order in which they were given.
    pub fn roles(&self) -> &[Role] {
        &self.roles
    }

    /// The identities' names, joined: `B`, `B+C`.
    pub fn name(&self) -> String {
        let mut names: Vec<&str> = Vec::new();
        for role in &self.roles {
            if !names.contains(&role.bundle.name.as_str()) {
                names.push(&role.bundle.name);
            }
        }
        names.join("+")
    }

    /// Whose faces are replaced, in the order of the parts.
    pub fn picks(&self) -> Vec<Pick> {
        self.roles.iter().map(|role| role.pick.clone()).collect()
    }
}
