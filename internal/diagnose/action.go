package diagnose

// Action is what the reader is to do, as one word that apps can link to.
// The vocabulary is closed: contract section 5.
type Action string

// The vocabulary. Each names the least drastic act of the one who can end the
// fault.
const (
	ActNone               Action = "none"
	ActRetry              Action = "retry"
	ActWait               Action = "wait"            // nothing to do but wait
	ActReauthenticate     Action = "re-authenticate" // open the session again, nothing else
	ActRepair             Action = "re-pair"         // pair again on the LAN, new control key
	ActUnlockDevice       Action = "unlock-device"   // switch the app's device lock off
	ActCheckPower         Action = "check-power"
	ActCheckWiFi          Action = "check-wifi"
	ActJoinLAN            Action = "join-lan"
	ActCheckNetwork       Action = "check-network" // path from the reporter to the device or cloud
	ActCheckDNS           Action = "check-dns"
	ActCheckClock         Action = "check-clock"
	ActCheckTLS           Action = "check-tls"
	ActCheckServer        Action = "check-server" // the vendor's or your own back end
	ActCheckMainboardLink Action = "check-mainboard-link"
	ActFreeStorage        Action = "free-storage"
	ActUseSupported       Action = "use-supported-command"
	ActSignIn             Action = "sign-in"
	ActCheckCredentials   Action = "check-credentials"
	ActCheckAccount       Action = "check-account"    // the account's own state
	ActRequestNewCode     Action = "request-new-code" // verification code, QR code or link ran out
	ActSlowDown           Action = "slow-down"        // fewer calls
	ActCheckPermission    Action = "check-permission"
	ActCheckHome          Action = "check-home"   // what a home, room, scene or group holds or allows
	ActRefreshData        Action = "refresh-data" // the caller's copy is old
	ActFixRequest         Action = "fix-request"  // the calling program sends wrong or too much data
	ActFixScript          Action = "fix-script"   // the SDK's script for a product is missing or wrong
	ActCheckLicense       Action = "check-license"
	ActCheckHost          Action = "check-host" // the machine that runs the SDK
	ActUpdateApp          Action = "update-app"
	ActContactSupport     Action = "contact-support"
)

// Actions is the whole vocabulary in the contract's order.
func Actions() []Action {
	return []Action{
		ActNone, ActRetry, ActWait, ActReauthenticate, ActRepair, ActUnlockDevice, ActCheckPower, ActCheckWiFi,
		ActJoinLAN, ActCheckNetwork, ActCheckDNS, ActCheckClock, ActCheckTLS, ActCheckServer, ActCheckMainboardLink,
		ActFreeStorage, ActUseSupported, ActSignIn, ActCheckCredentials, ActCheckAccount, ActRequestNewCode,
		ActSlowDown, ActCheckPermission, ActCheckHome, ActRefreshData, ActFixRequest, ActFixScript, ActCheckLicense,
		ActCheckHost, ActUpdateApp, ActContactSupport,
	}
}
