import { z } from 'zod';

/** A JWKS fetched in the clear could be another's, except from this very machine. */
function isSafeUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname } = new URL(text);
  return (
    protocol === 'https:' || (protocol === 'http:' && /^(localhost|127\.0\.0\.1|\[::1\])$/.test(hostname))
  );
}

const oneOf = (first: string, second: string) => `must have either "${first}" or "${second}"`;

/** `auth` of a backend's file: who may call. */
export const authSchema = z
  .strictObject({
    /** HS256: the secret that the application's server signs with, in an environment variable or a file. */
    secret: z
      .strictObject({ env: z.string().min(1).optional(), file: z.string().min(1).optional() })
      .refine(({ env, file }) => (env === undefined) !== (file === undefined), oneOf('env', 'file'))
      .optional(),
    /** Public keys of an identity provider, at a URL or in a file. */
    jwks: z
      .strictObject({
        url: z
          .string()
          .refine(isSafeUrl, 'must be a URL that begins with https://, or http://localhost')
          .optional(),
        file: z.string().min(1).optional(),
      })
      .refine(({ url, file }) => (url === undefined) !== (file === undefined), oneOf('url', 'file'))
      .optional(),
    /** What a token's `iss` must be. Absent: anything. */
    issuer: z.string().min(1).optional(),
    /** What a token's `aud` must be, or hold. Absent: anything. */
    audience: z.string().min(1).optional(),
    /** Seconds by which clocks may differ. */
    leewaySeconds: z.number().min(0).max(600).default(30),
  })
  .refine(({ secret, jwks }) => (secret === undefined) !== (jwks === undefined), oneOf('secret', 'jwks'));

export type AuthConfig = z.infer<typeof authSchema>;
