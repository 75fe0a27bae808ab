// Clients of Microsoft Graph that know nothing of graphtoken, by @azure/identity and MSAL
// Node. See clients.py.
const { DefaultAzureCredential, ManagedIdentityCredential } = require("@azure/identity");
const { ManagedIdentityApplication } = require("@azure/msal-node");

const { GRAPH, EACH } = process.env;
const resource = "https://graph.microsoft.com";
const scope = resource + "/.default";

function ofAzureIdentity(credential) {
  return async () => (await credential.getToken(scope)).token;
}

function ofMSAL() {
  const application = new ManagedIdentityApplication();
  return async () => (await application.acquireToken({ resource })).accessToken;
}

const kinds = {
  "@azure/identity's DefaultAzureCredential": () => ofAzureIdentity(new DefaultAzureCredential()),
  "@azure/identity's ManagedIdentityCredential": () => ofAzureIdentity(new ManagedIdentityCredential()),
  "MSAL Node": ofMSAL,
};

let ended = false;
const failures = [];

async function call(make, counts) {
  try {
    const token = make();
    while (!ended) {
      const bearer = await token();
      const answer = await fetch(GRAPH, { headers: { Authorization: "Bearer " + bearer } });
      if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
      await answer.text();
      counts.calls++;
      counts.tokens.add(bearer);
      await new Promise((done) => setTimeout(done, 100));
    }
  } catch (failure) {
    failures.push(String(failure));
  }
}

console.log(process.pid);
const clients = {};
const calling = [];
for (const [name, make] of Object.entries(kinds)) {
  for (let n = 0; n < EACH; n++) {
    const counts = (clients[`${name} ${n}`] = { calls: 0, tokens: new Set() });
    calling.push(call(make, counts));
  }
}
process.stdin.resume();
process.stdin.on("end", async () => {
  ended = true;
  await Promise.all(calling);
  for (const counts of Object.values(clients)) counts.tokens = counts.tokens.size;
  console.log(JSON.stringify({ clients, failures }));
});
