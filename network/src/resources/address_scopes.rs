//! `/address-scopes`: within one, no address is there twice.

use novella_common::sql;
use novella_rest::{ApiError, Operation};

use crate::{
    Networking,
    attributes::{
        Attribute,
        Otherwise::{Flag, Text},
        attribute,
        checks::{self, boolean, name},
    },
    errors::{conflict, refused},
    policy,
    resource::{self, About, Given, Resource, SharedAs, Work, sharing},
};

crate::resource! {
    /// An address scope.
    struct AddressScope in "address_scopes" {
        name: String = attribute("name", name).given_or(Text("")).changed().filter().sort();
        ip_version: i64 = attribute("ip_version", checks::ip_version).required().filter().sort();
    }
}

static ADDRESS_SCOPES: About = About {
    one: "address_scope",
    many: "address_scopes",
    collection: "/address-scopes",
    member: "/address-scopes/{address_scope_id}",
    tags: None,
    missing: ("AddressScopeNotFound", "Address scope ", " could not be found."),
    get: policy::GET_ADDRESS_SCOPE,
    create: policy::CREATE_ADDRESS_SCOPE,
    update: Some(policy::UPDATE_ADDRESS_SCOPE),
    delete: policy::DELETE_ADDRESS_SCOPE,
    quota: None,
    stamped: false,
    first_revision: 0,
    shared: Some(&SHARED),
};

pub(super) static SHARED: SharedAs = SharedAs::of("address_scope");

/// The operations.
pub(super) fn operations() -> Vec<Operation<Networking>> {
    resource::operations::<AddressScope>()
}

impl Resource for AddressScope {
    const ABOUT: &'static About = &ADDRESS_SCOPES;
    const OTHERS: &'static [Attribute] = &[attribute("shared", boolean)
        .given_or(Flag(false))
        .changed()
        .filter()
        .creating(policy::CREATE_ADDRESS_SCOPE_SHARED)
        .updating(policy::UPDATE_ADDRESS_SCOPE_SHARED)];

    async fn before_update(&mut self, _: &Self, work: &mut Work<'_>, given: &Given) -> Result<(), ApiError> {
        match given.flag("shared") {
            Some(true) => sharing::share(work, &SHARED, &self.id, &self.project_id).await,
            Some(false)
                if !sharing::shared_now(work.request, &mut work.transaction, &SHARED, &[&self.id])
                    .await?
                    .is_empty() =>
            {
                Err(refused(
                    "AddressScopeUpdateError",
                    format!("Unable to update address scope {} : Shared address scope can't be unshared.", self.id),
                ))
            }
            _ => Ok(()),
        }
    }

    async fn before_delete(&self, work: &mut Work<'_>) -> Result<(), ApiError> {
        let used: i64 = sql!("SELECT COUNT(*) FROM subnet_pools WHERE address_scope_id = "(self.id))
            .fetch_one(&mut work.transaction)
            .await?;
        if used == 0 {
            return Ok(());
        }
        let id = &self.id;
        Err(conflict(
            "AddressScopeInUse",
            format!(
                "Unable to complete operation on address scope {id}. There are one or more subnet pools in use on the \
                 address scope."
            ),
        ))
    }
}
