export {
  Admin,
  external,
  type AccessToken,
  type AccessTokenChanges,
  type AccessTokenFilters,
  type AccessTokenRotation,
  type AccessTokens,
  type Answered,
  type Companies,
  type Company,
  type CreatedAccessToken,
  type CreatedVerifierKey,
  type NewAccessToken,
  type NewOwner,
  type NewPortalSession,
  type NewVerifierKey,
  type OpenedPortalSession,
  type Owner,
  type OwnerFilters,
  type Owners,
  type PortalSessions,
  type VerifierKeys,
} from "./admin.js";
export { GatepassError, type ClientReason, type FieldError } from "./errors.js";
export type { CallOptions, ChangeOptions, Options, PostOptions } from "./options.js";
export { Secret } from "./secret.js";
export {
  Verifier,
  type ActiveToken,
  type Call,
  type Decision,
  type Introspection,
  type Presented,
} from "./verifier.js";
