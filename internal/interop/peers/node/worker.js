// MSAL Node as another program has it: it knows nothing but the record, a file, and holds no lock.
// The protocol is that of ../../worker_test.go: one JSON object a line, commands in, answers out.
"use strict";
const fs = require("fs");
const https = require("https");
const readline = require("readline");
const msal = require("@azure/msal-node");

const peer = JSON.parse(process.env.PEER);
const [host, port] = peer.address.split(":");
const agent = new https.Agent({ keepAlive: true, ca: fs.readFileSync(peer.ca) });

// Every host name leads to the imitation of Entra.
function send(method, address, options = {}) {
	const url = new URL(address);
	return new Promise((resolve, reject) => {
		const request = https.request({
			agent, host, port, servername: url.hostname, method, path: url.pathname + url.search,
			headers: { ...options.headers, Host: url.host },
		}, (response) => {
			let body = "";
			response.setEncoding("utf8");
			response.on("data", (chunk) => (body += chunk));
			response.on("end", () => resolve({ headers: response.headers, status: response.statusCode, body: JSON.parse(body) }));
		});
		request.on("error", reject);
		request.end(options.body);
	});
}

// The cache plugin that MSAL's users write by hand.
const cachePlugin = {
	async beforeCacheAccess(context) {
		if (fs.existsSync(peer.record)) {
			context.tokenCache.deserialize(fs.readFileSync(peer.record, "utf8"));
		}
	},
	async afterCacheAccess(context) {
		if (context.cacheHasChanged) {
			fs.writeFileSync(peer.record, context.tokenCache.serialize());
		}
	},
};

const system = {
	networkClient: {
		sendGetRequestAsync: (url, options) => send("GET", url, options),
		sendPostRequestAsync: (url, options) => send("POST", url, options),
	},
};

function user() {
	return new msal.PublicClientApplication({ auth: { clientId: peer.client, authority: peer.authority }, cache: { cachePlugin }, system });
}

function service() {
	return new msal.ConfidentialClientApplication({
		auth: { clientId: peer.confidential, clientSecret: peer.secret, authority: peer.authority }, cache: { cachePlugin }, system,
	});
}

async function account() {
	const found = (await app.getTokenCache().getAllAccounts()).filter((a) => a.username === peer.user);
	if (found.length === 0) {
		throw new Error(`no account is ${peer.user}'s`);
	}
	return found[0]; // of several with one home account
}

let app = user();

const commands = {
	restart: async () => {
		app = user();
		return {};
	},
	redeem: async ({ code, redirect, verifier }) =>
		token(await app.acquireTokenByCode({ code, redirectUri: redirect, codeVerifier: verifier, scopes: peer.scopes })),
	silent: async () => token(await app.acquireTokenSilent({ account: await account(), scopes: peer.scopes })),
	refresh: async () => token(await app.acquireTokenSilent({ account: await account(), scopes: peer.scopes, forceRefresh: true })),
	accounts: async () => ({ accounts: (await app.getTokenCache().getAllAccounts()).map((a) => a.username) }),
	"sign out": async () => {
		await app.getTokenCache().removeAccount(await account());
		return {};
	},
	application: async ({ claims }) =>
		token(await service().acquireTokenByClientCredential({ scopes: ["https://graph.microsoft.com/.default"], claimsFromClient: claims })),
	"on behalf": async ({ assertion }) => token(await service().acquireTokenOnBehalfOf({ oboAssertion: assertion, scopes: peer.scopes })),
};

function token(result) {
	return { token: result.accessToken };
}

(async () => {
	for await (const line of readline.createInterface({ input: process.stdin })) {
		const command = JSON.parse(line);
		let answer;
		try {
			answer = await commands[command.do](command);
		} catch (error) {
			answer = { error: `${error.errorCode || error.name}: ${error.errorMessage || error.message}` };
		}
		process.stdout.write(JSON.stringify(answer) + "\n");
	}
	process.exit(0);
})();
