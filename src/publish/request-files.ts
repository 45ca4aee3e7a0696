/** Signing requests on the disk. They hold no secret: whoever may carry one may read it. */
import { PublishError } from '../core/errors.ts'
import { readRequest, requestLimitBytes, type SigningRequest, writeRequest } from '../signing/signing-request.ts'
import { writeFileDurably } from '../store/durable.ts'
import { readSmallFile } from '../store/small-file.ts'

/** @throws PublishError `request_unusable`; StoreError. */
export async function loadRequest(path: string): Promise<SigningRequest> {
  const bytes = await readSmallFile(path, requestLimitBytes)
  if (bytes !== undefined && bytes !== 'too large') return readRequest(bytes, path)
  throw new PublishError('request_unusable', `${path} is no signing request: ${bytes ?? 'there is no such file'}`, {
    path,
  })
}

export async function saveRequest(path: string, request: SigningRequest): Promise<void> {
  await writeFileDurably(path, writeRequest(request), 0o644)
}

/** For a request that is made: an older one, perhaps half signed, is not overwritten. @throws PublishError `request_unusable`. */
export async function requireNoRequest(path: string): Promise<void> {
  if ((await readSmallFile(path, 0)) === undefined) return
  throw new PublishError('request_unusable', `${path} is there already; give another name, or remove it`, { path })
}
