// The runner tells JavaScript alone how its cache is reached. Nothing is exported: whatever else runs
// in the job must not have it. No dependency, so that what runs is what stands here.
const fs = require('node:fs')

const token = process.env.ACTIONS_RUNTIME_TOKEN
if (token) {
  const { ACTIONS_RESULTS_URL, ACTIONS_CACHE_URL, ACTIONS_CACHE_SERVICE_V2 } = process.env
  const service = {
    ACTIONS_RUNTIME_TOKEN: token,
    ACTIONS_RESULTS_URL,
    ACTIONS_CACHE_URL,
    ACTIONS_CACHE_SERVICE_V2,
  }
  console.log(`::add-mask::${token}`)
  fs.appendFileSync(process.env.GITHUB_OUTPUT, `token=${JSON.stringify(service)}\n`)
} else {
  console.log(
    '::warning::This runner has no cache, so that no layers are kept in it. ' +
      'Give the input cache another value, such as registry.',
  )
}
